package org.example.almanac;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.example.almanac.style.Roman;
import org.junit.jupiter.api.Test;

class RomanTest {
    @Test
    void writesYears() {
        assertEquals("MCMLXIX", new Roman().write(1969));
    }
}
