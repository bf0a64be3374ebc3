package org.example.almanac.style;

public class Roman implements Style {
    private static final int[] VALUES = {1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1};
    private static final String[] LETTERS = {"M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"};

    @Override
    public String write(int year) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < VALUES.length; i++) {
            for (; year >= VALUES[i]; year -= VALUES[i]) {
                text.append(LETTERS[i]);
            }
        }
        return text.toString();
    }
}
