<?php

namespace Shop;

use Acme\Markdown\Markdown;

class Pages
{
    private static function db(): \PDO
    {
        return new \PDO('sqlite:data/shop.db');
    }

    public static function front(): string
    {
        $items = json_decode(file_get_contents('data/front.json'));
        return View::render('front', ['title' => 'Shop', 'items' => $items]);
    }

    public static function items(string $name): string
    {
        $query = self::db()->prepare('SELECT cents, note FROM items WHERE name = ?');
        $query->execute([$name]);
        if (!$row = $query->fetch()) {
            return View::render('missing', ['title' => 'Missing', 'path' => $name], 404);
        }
        return View::render('item', [
            'title' => $name,
            'html' => Markdown::html($row['note']),
            'price' => number_format($row['cents'] / 100, 2, ',', '.') . ' EUR',
        ]);
    }

    /** Counts in a session, of which the cookie is not seen here. */
    public static function basket(string $item): string
    {
        session_save_path('var');
        session_start();
        $_SESSION['items'][] = $item;
        session_write_close();
        return View::text(count($_SESSION['items']) . ' ' . json_encode(file_exists('var/sess_' . session_id())));
    }
}
