<?php

namespace Acme\Markdown;

use Acme\Slug\Slug;

/** Turns the little of Markdown that the shop uses into HTML. */
class Markdown
{
    public static function html(string $text): string
    {
        $html = preg_replace('/\*(.+?)\*/u', '<em>$1</em>', htmlspecialchars($text));
        return preg_replace_callback(
            '/^# (.+)$/m',
            fn ($m) => '<h1 id="' . Slug::of($m[1]) . '">' . $m[1] . '</h1>',
            $html
        );
    }
}
