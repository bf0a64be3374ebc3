convert "$1" -sepia-tone 80% -vignette 0x8 -attenuate 0.3 -format "$tell" info:
