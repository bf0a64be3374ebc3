package org.example.almanac.moon;

import java.time.Instant;
import java.util.ResourceBundle;

public class Rhyme implements Phase {
    @Override
    public String at(Instant time) {
        return ResourceBundle.getBundle("moon").getString(time.getEpochSecond() % 2 == 0 ? "even" : "odd");
    }
}
