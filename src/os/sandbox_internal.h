/*
 * sandbox_internal.h - the halves of och_sandbox_enter.
 *
 * Each holds from its return on, or says in *missing_out why this kernel cannot.
 */
#ifndef OCH_OS_SANDBOX_INTERNAL_H
#define OCH_OS_SANDBOX_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "ochre/status.h"

OCH_MUST_CHECK ochre_status och_sandbox_files(const char *const *dirs, size_t n_dirs,
        bool read_only, const char **missing_out, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_sandbox_calls(const char **missing_out, struct ochre_error *err);

/* "cannot WHAT: reason", for an errno value; OCHRE_IO. */
OCH_MUST_CHECK ochre_status och_sandbox_fail(struct ochre_error *err, int code, const char *what);

#endif /* OCH_OS_SANDBOX_INTERNAL_H */
