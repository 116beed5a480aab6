/* Preloaded into a program, sets its clock wrong by $WRONG_CLOCK seconds; other clocks stay. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec* now) {
  const char* wrong = getenv("WRONG_CLOCK");
  const int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (failed == 0 && clock == CLOCK_REALTIME && wrong) now->tv_sec += atol(wrong);
  return failed;
}
