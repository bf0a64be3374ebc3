<?php

namespace Acme\Testkit;

/** Runs the methods of a class whose names begin with test. */
class Runner
{
    public static function run(string $class): int
    {
        $failed = 0;
        foreach (preg_grep('/^test/', get_class_methods($class)) as $method) {
            if (!(new $class())->$method()) {
                fwrite(STDERR, "$class::$method fails\n");
                $failed++;
            }
        }
        return $failed;
    }
}
