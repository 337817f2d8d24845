#include "app/table.h"
#include <stdlib.h>

int is_sound(const char *word) {
  char *end;
  long number = strtol(word, &end, 10);
  return *word && !*end && number >= 0 && number < COUNT;
}
