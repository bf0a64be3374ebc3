<?php

namespace Shop;

class View
{
    public static function render(string $name, array $values, int $status = 200): string
    {
        http_response_code($status);
        extract($values);
        ob_start();
        require "templates/layout.phtml";
        return ob_get_clean();
    }

    public static function text(string $text): string
    {
        header('Content-Type: text/plain; charset=utf-8');
        return $text . "\n";
    }
}
