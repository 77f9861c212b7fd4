# What the compiler and the linker can do against a bug that is still there: calls
# and copies that check their sizes, stacks that notice, addresses that nobody can
# guess, and tables that nobody can write.  For optimised builds without sanitizers,
# which bring their own checks; tests/cli/test_hardening.py looks at the result.
include(CheckCCompilerFlag)
set(OCH_HARDENED OFF)
if(CMAKE_BUILD_TYPE MATCHES "^(Release|RelWithDebInfo|MinSizeRel)$" AND NOT OCHRE_SANITIZE
   AND NOT OCHRE_COVERAGE)
    set(OCH_HARDENED ON)
endif()

function(och_harden target)
    if(NOT OCH_HARDENED)
        return()
    endif()
    # A distribution's own value, if it sets one, gives way without a warning.
    target_compile_options(${target} PRIVATE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    foreach(flag IN ITEMS -fstack-clash-protection -fcf-protection=full
                          -mbranch-protection=standard)
        string(MAKE_C_IDENTIFIER "have${flag}" have)
        check_c_compiler_flag(${flag} ${have})
        if(${have})
            target_compile_options(${target} PRIVATE ${flag})
        endif()
    endforeach()
endfunction()

# Of what is linked: addresses are bound before main and then read-only, and neither
# the stack nor data is ever code.
set(och_hardened_link -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
