# cnspec_add_provider(NAME SOURCES a.cpp ... [MANIFEST provider.yaml] [VERSION 1.2.3] [LIBRARIES x ...] [OUTPUT DIR])
#
# Builds the provider NAME as one shared library, NAME.so, with its manifest inside. The sources include the
# generated "manifest.h" for CNSPEC_MANIFEST and the names of the resources and fields. VERSION stands in for a
# version that provider.yaml does not give.

function(cnspec_add_provider name)
  cmake_parse_arguments(ARG "" "MANIFEST;VERSION;OUTPUT" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT ARG_SOURCES)
    message(FATAL_ERROR "cnspec_add_provider(${name}): SOURCES is missing")
  endif()
  if(NOT ARG_MANIFEST)
    set(ARG_MANIFEST provider.yaml)
  endif()
  get_filename_component(yaml ${ARG_MANIFEST} ABSOLUTE)
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/${name}-manifest)
  set(version)
  if(ARG_VERSION)
    set(version --version ${ARG_VERSION})
  endif()

  add_custom_command(
    OUTPUT ${generated}/manifest.c ${generated}/manifest.h
    COMMAND cnspec::manifest ${yaml} --output ${generated} ${version}
    DEPENDS ${yaml} cnspec::manifest
    COMMENT "Compiling ${ARG_MANIFEST} of provider ${name}"
    VERBATIM)

  set(target cnspec_provider_${name})
  add_library(${target} MODULE ${ARG_SOURCES} ${generated}/manifest.c ${generated}/manifest.h)
  target_include_directories(${target} PRIVATE ${generated} ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${target} PRIVATE cnspec::sdk ${ARG_LIBRARIES})
  set_target_properties(${target} PROPERTIES
    PREFIX "" OUTPUT_NAME ${name} POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/provider.map)
  if(ARG_OUTPUT)
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${ARG_OUTPUT})
  endif()
  if(UNIX AND NOT APPLE)
    # Everything is bound when the library is loaded, and nothing but the entry function can be seen.
    target_link_options(${target} PRIVATE -Wl,-z,now -Wl,--exclude-libs,ALL
      -Wl,--version-script=${CMAKE_CURRENT_FUNCTION_LIST_DIR}/provider.map)
    # A sanitizer's run-time library is found in the host, so its symbols stay open.
    if(NOT CMAKE_MODULE_LINKER_FLAGS MATCHES "fsanitize" AND NOT CNSPEC_SANITIZE)
      target_link_options(${target} PRIVATE -Wl,-z,defs)
    endif()
  endif()
endfunction()
