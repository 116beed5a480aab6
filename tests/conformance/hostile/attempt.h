/* What a provider must not get away with, one attempt each; for a provider and for a program alike. */
#ifndef CNSPEC_TESTS_ATTEMPT_H
#define CNSPEC_TESTS_ATTEMPT_H

#ifdef __cplusplus
extern "C" {
#endif

/* 0 when it succeeded, else errno; -1 when there is no such attempt. `target` is a path, a process id, or a
   port, as the attempt needs it. Many do not return when they are stopped. */
int attempt(const char* what, const char* target);

#ifdef __cplusplus
}
#endif
#endif
