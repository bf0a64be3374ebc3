<?php

// Makes the shop's database.
$db = new PDO('sqlite:data/shop.db');
$db->exec('CREATE TABLE items (name TEXT PRIMARY KEY, cents INTEGER, note TEXT)');
$insert = $db->prepare('INSERT INTO items VALUES (?, ?, ?)');
foreach ([['tea', 450, "# Süßer Tee\n*Assam*, second flush"], ['salt', 320, "# Sel\nfrom *Guérande*"], ['pepper', 810, "# Pfeffer"]] as $row) {
    $insert->execute($row);
}
