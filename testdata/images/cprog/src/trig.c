#include <math.h>

/* hypotenuse is why libm is needed, two libraries away from the program. */
double hypotenuse(double a, double b) { return hypot(a, b); }
