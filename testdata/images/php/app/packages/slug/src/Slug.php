<?php

namespace Acme\Slug;

/** Makes names for URLs, by a table that lies beside it. */
class Slug
{
    public static function of(string $text): string
    {
        $table = require __DIR__ . '/../resources/letters.php';
        return trim(preg_replace('/[^a-z0-9]+/', '-', strtr(mb_strtolower($text), $table)), '-');
    }
}
