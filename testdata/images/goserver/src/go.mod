module example.org/atlas

go 1.22
