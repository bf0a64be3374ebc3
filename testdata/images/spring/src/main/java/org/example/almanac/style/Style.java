package org.example.almanac.style;

public interface Style {
    String write(int year);
}
