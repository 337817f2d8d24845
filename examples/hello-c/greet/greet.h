#ifndef GREET_GREET_H
#define GREET_GREET_H

#include <stddef.h>

/* Writes a greeting for `name` into `buffer` of `size` bytes, and returns its length as snprintf does. */
int greet(char *buffer, size_t size, const char *name);

#endif
