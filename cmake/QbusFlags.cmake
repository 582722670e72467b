# SPDX-License-Identifier: MIT
# Language, warnings and hardening for every target (the OpenSSF compiler guide, 2026-06-30, as far as gcc 12 and
# clang 14 know it).
include(CheckCCompilerFlag)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
# Assertions stay in what ships: a ledger that is wrong must end, not go on.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
  -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings
  -Wvla -Wundef -Wimplicit-fallthrough -Wno-missing-field-initializers
  -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion -Werror=format-security
  -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -fno-common -fvisibility=hidden
  -fstack-protector-strong -fexceptions)
if(QBUS_WERROR)
  add_compile_options(-Werror)
endif()

foreach(flag -fstack-clash-protection -fcf-protection=full -ftrivial-auto-var-init=zero)
  string(MAKE_C_IDENTIFIER "QBUS_HAS${flag}" known)
  check_c_compiler_flag(${flag} ${known})
  if(${known})
    add_compile_options(${flag})
  endif()
endforeach()

if(QBUS_SANITIZE)
  add_compile_options(-fsanitize=${QBUS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QBUS_SANITIZE})
else()
  # Both as options: cmake puts definitions first, and the -U would undo them.
  add_compile_options("$<$<NOT:$<CONFIG:Debug>>:SHELL:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3>")
  add_link_options(-Wl,--as-needed)
endif()
add_link_options(-Wl,-z,noexecstack -Wl,-z,relro -Wl,-z,now)

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
