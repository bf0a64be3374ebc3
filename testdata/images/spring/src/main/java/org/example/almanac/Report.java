package org.example.almanac;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** The places from the command line, without the web: java -jar almanac.jar report LANGUAGE. */
final class Report {

    record Place(String name, double latitude, double longitude) {
    }

    /** The list is kept by an old program that writes windows-1252. */
    static List<Place> places() throws IOException {
        try (var lines = Files.lines(Path.of("data/places.csv"), java.nio.charset.Charset.forName("windows-1252"))) {
            return lines.map(line -> line.split(";"))
                    .map(f -> new Place(f[0], Double.parseDouble(f[1]), Double.parseDouble(f[2]))).toList();
        }
    }

    static int run(String[] args) throws IOException {
        if (args.length != 2) {
            System.err.println("usage: report LANGUAGE");
            return 2;
        }
        Locale locale = Locale.forLanguageTag(args[1]);
        var out = new java.io.PrintStream(System.out, true, "UTF-8");
        for (Place place : places()) {
            out.printf(locale, "%-12s %,.4f %,.4f%n", place.name, place.latitude, place.longitude);
        }
        return 0;
    }
}
