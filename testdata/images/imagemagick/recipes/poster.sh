# The size comes from another program.
size=$(identify -format '%wx%h' "$1")
convert "$1" -ordered-dither o8x8,6 -posterize 5 \( -size "$size" gradient:gold-navy \) -compose overlay -composite -format "$tell" info:
