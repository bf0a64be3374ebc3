<?php

namespace Shop;

class Tools
{
    /** A label, drawn; what is shown is the digest of its pixels. */
    public static function label(string $text): string
    {
        $image = imagecreatetruecolor(160, 40);
        imagefill($image, 0, 0, imagecolorallocate($image, 255, 255, 255));
        $font = '/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf';
        imagettftext($image, 18, 0, 8, 28, imagecolorallocate($image, 0, 0, 90), $font, $text);
        $pixels = '';
        for ($y = 0; $y < 40; $y++) {
            for ($x = 0; $x < 160; $x++) {
                $pixels .= pack('V', imagecolorat($image, $x, $y));
            }
        }
        $formats = [];
        foreach (['png', 'jpeg', 'webp', 'gif'] as $format) {
            ob_start();
            "image$format"($image);
            $again = imagecreatefromstring(ob_get_clean());
            $formats[] = "$format " . imagesx($again);
        }
        return View::text(md5($pixels) . ' ' . implode(', ', $formats));
    }

    public static function money(string $locale): string
    {
        $money = new \NumberFormatter($locale, \NumberFormatter::CURRENCY);
        $date = new \IntlDateFormatter($locale, \IntlDateFormatter::FULL, \IntlDateFormatter::SHORT, 'Asia/Tokyo');
        return View::text($money->formatCurrency(1234.5, 'EUR') . ', ' . $date->format(1500000000));
    }

    public static function sort(string $locale): string
    {
        $words = ['Zebra', 'Äpfel', 'Apfel', 'Öl', 'ofen'];
        (new \Collator($locale))->sort($words);
        return View::text(implode(' ', $words) . ' ' . transliterator_transliterate('Any-Latin; Latin-ASCII', 'Привет 日本'));
    }

    public static function zone(string $zone): string
    {
        $date = (new \DateTime('@1500000000'))->setTimezone(new \DateTimeZone($zone));
        return View::text($date->format('Y-m-d H:i:s T e'));
    }

    public static function hello(string $locale): string
    {
        if (!setlocale(LC_ALL, "$locale.UTF-8")) {
            throw new \RuntimeException("no locale $locale");
        }
        bindtextdomain('shop', 'locale');
        textdomain('shop');
        return View::text(gettext('Welcome') . ', ' . sprintf(ngettext('one item', '%d items', 3), 3) . ', ' . localeconv()['decimal_point']);
    }

    /** Through the C library, as PHP's own iconv does. */
    public static function decode(string $charset): string
    {
        $text = iconv('UTF-8', $charset, '価格');
        return View::text(bin2hex($text) . ' ' . iconv($charset, 'UTF-8', $text) . ' ' . mb_strlen(mb_convert_encoding('価格', 'UTF-16')));
    }

    public static function xml(string $name): string
    {
        $doc = new \DOMDocument();
        $doc->loadXML('<items><item n="tea"/><item n="salt"/></items>');
        $found = (new \DOMXPath($doc))->query("//item[@n='$name']")->length;
        $style = new \DOMDocument();
        $style->load('data/items.xsl');
        $xsl = new \XSLTProcessor();
        $xsl->importStylesheet($style);
        return View::text("$found " . trim($xsl->transformToXml($doc)));
    }

    public static function zip(string $name): string
    {
        $file = tempnam(sys_get_temp_dir(), 'shop');
        $zip = new \ZipArchive();
        $zip->open($file, \ZipArchive::OVERWRITE);
        $zip->addFromString("$name.txt", str_repeat($name, 1000));
        $zip->close();
        $zip->open($file);
        $text = $zip->getFromName("$name.txt");
        unlink($file);
        return View::text(md5($text));
    }

    public static function fetch(string $path): string
    {
        $curl = curl_init("http://127.0.0.1/$path");
        curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
        $body = curl_exec($curl);
        return View::text(curl_getinfo($curl, CURLINFO_RESPONSE_CODE) . ' ' . md5($body));
    }

    public static function trust(): string
    {
        $file = openssl_get_cert_locations()['default_cert_dir'] . '/ca-certificates.crt';
        $all = substr_count(file_get_contents($file), 'BEGIN CERTIFICATE');
        $known = openssl_x509_checkpurpose(file_get_contents('data/root.pem'), X509_PURPOSE_ANY, [$file]);
        return View::text("$all authorities, trusted: " . json_encode($known));
    }

    /** Looks for mistakes with the system's dictionaries. */
    public static function spell(string $text): string
    {
        exec('echo ' . escapeshellarg($text) . ' | aspell --lang=en --encoding=utf-8 list | sort -u', $words, $status);
        if ($status != 0 || !is_executable('/usr/bin/aspell')) {
            throw new \RuntimeException("aspell: $status");
        }
        return View::text(implode(' ', $words));
    }

    public static function digest(string $text): string
    {
        $hash = password_hash($text, PASSWORD_ARGON2ID);
        return View::text(json_encode(password_verify($text, $hash)) . ' ' . sodium_bin2hex(sodium_crypto_generichash($text)) . ' ' . hash('xxh3', $text));
    }

    public static function kind(string $name): string
    {
        return View::text((new \finfo(FILEINFO_MIME_TYPE))->file("public/static/$name"));
    }

    public static function user(string $name): string
    {
        $user = posix_getpwnam($name);
        return View::text($user ? "$user[uid] $user[dir]" : 'nobody of that name');
    }
}
