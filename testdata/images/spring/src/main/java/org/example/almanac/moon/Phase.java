package org.example.almanac.moon;

import java.time.Instant;

public interface Phase {
    String at(Instant time);
}
