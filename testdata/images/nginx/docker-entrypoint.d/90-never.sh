#!/bin/sh
# Not executable: passed over.
exit 1
