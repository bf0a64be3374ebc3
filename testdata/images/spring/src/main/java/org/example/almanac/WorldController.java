package org.example.almanac;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;

import java.nio.charset.Charset;
import java.text.Collator;
import java.text.NumberFormat;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.chrono.JapaneseDate;
import java.time.format.DateTimeFormatter;
import java.time.format.FormatStyle;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.TreeMap;
import org.example.almanac.moon.Phase;
import org.example.almanac.style.Style;

/** What differs from country to country: times, numbers, letters. */
@RestController
class WorldController {

    private static final Instant LANDING = Instant.parse("1969-07-20T20:17:40Z");

    private final String style;

    WorldController(@Value("${almanac.style}") String style) {
        this.style = style;
    }

    @GetMapping("/zones/{region}/{city}")
    Map<String, Object> zone(@PathVariable String region, @PathVariable String city) {
        ZoneId zone = ZoneId.of(region + "/" + city);
        ZonedDateTime there = LANDING.atZone(zone);
        return new TreeMap<>(Map.of("there", there.toString(), "summer", zone.getRules().isDaylightSavings(LANDING),
                "changes", zone.getRules().getTransitions().size(), "zones", ZoneId.getAvailableZoneIds().size()));
    }

    @GetMapping("/numbers/{tag}")
    Map<String, Object> numbers(@PathVariable String tag) {
        Locale locale = Locale.forLanguageTag(tag);
        List<String> names = new ArrayList<>(List.of("zèbre", "Ångström", "ähnlich", "abc", "öl", "eel"));
        names.sort(Collator.getInstance(locale));
        return new TreeMap<>(Map.of(
                "number", NumberFormat.getInstance(locale).format(1234567.891),
                "money", NumberFormat.getCurrencyInstance(locale).format(-9876.5),
                "short", NumberFormat.getCompactNumberInstance(locale, NumberFormat.Style.LONG).format(1250000),
                "date", LANDING.atZone(ZoneId.of("UTC")).format(
                        DateTimeFormatter.ofLocalizedDateTime(FormatStyle.FULL, FormatStyle.SHORT).withLocale(locale)),
                "era", DateTimeFormatter.ofPattern("GGGGy", locale).format(JapaneseDate.of(1969, 7, 20)),
                "country", locale.getDisplayCountry(Locale.FRENCH),
                "sorted", names));
    }

    @PostMapping("/encode/{charset}")
    Map<String, Object> encode(@PathVariable String charset, @RequestBody String text) {
        Charset cs = Charset.forName(charset);
        byte[] bytes = text.getBytes(cs);
        return new TreeMap<>(Map.of("name", cs.name(), "hex", HexFormat.of().formatHex(bytes), "back", new String(bytes, cs)));
    }

    @GetMapping("/places")
    List<Report.Place> places() throws Exception {
        return Report.places();
    }

    /** The class is named in the configuration, or by who asks. */
    @GetMapping({"/year/{year}", "/year/{year}/{name}"})
    Map<String, String> year(@PathVariable int year, @PathVariable(required = false) String name) throws Exception {
        Class<?> type = Class.forName("org.example.almanac.style." + (name == null ? style : name));
        Style found = (Style) type.getDeclaredConstructor().newInstance();
        return Map.of("year", found.write(year));
    }

    @GetMapping("/moon")
    Map<String, String> moon() {
        Map<String, String> phases = new TreeMap<>();
        for (Phase phase : ServiceLoader.load(Phase.class)) {
            phases.put(phase.getClass().getSimpleName(), phase.at(LANDING));
        }
        return phases;
    }
}
