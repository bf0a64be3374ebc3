package org.example.almanac.moon;

import java.time.Duration;
import java.time.Instant;

public class Synodic implements Phase {
    private static final Instant NEW_MOON = Instant.parse("2000-01-06T18:14:00Z");

    @Override
    public String at(Instant time) {
        double days = Duration.between(NEW_MOON, time).toHours() / 24.0;
        return String.format("%.1f days old", ((days % 29.530588) + 29.530588) % 29.530588);
    }
}
