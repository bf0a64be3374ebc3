package org.example.almanac.style;

import java.time.LocalDate;
import java.time.chrono.ThaiBuddhistDate;
import java.time.format.DateTimeFormatter;
import java.util.Locale;

public class Buddhist implements Style {
    @Override
    public String write(int year) {
        return DateTimeFormatter.ofPattern("GGGG y", Locale.forLanguageTag("th"))
                .format(ThaiBuddhistDate.from(LocalDate.of(year, 1, 1)));
    }
}
