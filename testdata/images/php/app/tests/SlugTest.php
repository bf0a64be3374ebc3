<?php

namespace Shop\Tests;

use Acme\Slug\Slug;

class SlugTest
{
    public function testUmlaut(): bool
    {
        return Slug::of('Süßer Tee') === 'suesser-tee';
    }
}
