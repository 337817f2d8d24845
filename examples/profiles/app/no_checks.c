int is_sound(const char *word) { return word != 0; }
