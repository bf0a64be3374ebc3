# The most frequent colours, counted by the system's own programs.
convert "$1" -colors 8 -depth 8 txt:- | sed 1d | awk '{ print $3 }' | sort | uniq -c | sort -rn | head -n 3
