# The warnings Ochre is clean under.  A packager's build shows them; only
# OCHRE_WERROR (on in our presets, off by default) makes them fatal, so that a
# newer compiler never breaks an old release.
include(CheckCCompilerFlag)
option(OCHRE_WERROR "Treat warnings as errors" OFF)

set(och_warnings
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wdouble-promotion -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Walloca
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wnested-externs -Wredundant-decls -Wformat=2 -Wswitch-enum
    -Wimplicit-fallthrough -Wnull-dereference -Wdate-time -Wframe-larger-than=16384
    # gcc only
    -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init
    -Wcast-align=strict -Wtrampolines
    # clang only
    -Wcomma -Wunreachable-code -Wassign-enum -Wconditional-uninitialized
    -Wshift-sign-overflow -Wloop-analysis -Wmissing-variable-declarations
    -Wthread-safety -Wextra-semi-stmt)

function(och_strict target)
    foreach(flag IN LISTS och_warnings)
        string(MAKE_C_IDENTIFIER "have${flag}" have)
        check_c_compiler_flag(${flag} ${have})
        if(${have})
            target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:${flag}>)
        endif()
    endforeach()
    target_compile_options(${target} PRIVATE -fno-common -ffp-contract=off
        -fstack-protector-strong)
    if(OCHRE_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
endfunction()
