#include "app/table.h"
#include <stdio.h>
#include <stdlib.h>

int is_sound(const char *word);

int main(int count, char **words) {
  if (count != 2 || !is_sound(words[1])) {
    fprintf(stderr, "square takes a number below %d\n", COUNT);
    return 2;
  }
  printf("%d\n%s on %s, %d squares\n", squares[atoi(words[1])], MODE, SYSTEM, COUNT);
  return 0;
}
