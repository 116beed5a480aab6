/* For the linker alone. */
extern int cnspec_test_gone(void);
int cnspec_test_gone(void) { return 0; }
