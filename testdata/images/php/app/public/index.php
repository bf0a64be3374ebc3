<?php

chdir(__DIR__ . '/..');
require 'vendor/autoload.php';

set_exception_handler(function (Throwable $e) {
    echo Shop\View::render('error', ['title' => 'Error', 'error' => $e->getMessage()], 500);
});
set_error_handler(function (int $level, string $text) {
    throw new ErrorException($text, 0, $level);
});

$path = explode('/', trim(rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)), '/'), 2);
$pages = ['' => Shop\Pages::class, 'items' => Shop\Pages::class, 'basket' => Shop\Pages::class];
// The tools are loaded when one is asked for.
$class = $pages[$path[0]] ?? 'Shop\\Tools';
$method = $path[0] ?: 'front';
if (!method_exists($class, $method)) {
    echo Shop\View::render('missing', ['title' => 'Missing', 'path' => $path[0]], 404);
    exit;
}
echo $class::$method($path[1] ?? '');
