convert "$1" -colorspace Gray -shade 120x45 -morphology Close Disk:2 -contrast-stretch 2%x2% -format "$tell" info:
