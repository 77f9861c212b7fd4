# A layer is an object library: its sources are compiled once and go into the
# shared library, the static library and the tests alike.

# och_layer(NAME SOURCES... [LINK TARGETS...])
function(och_layer name)
    cmake_parse_arguments(layer "" "" "LINK" ${ARGN})
    add_library(och_${name} OBJECT ${layer_UNPARSED_ARGUMENTS})
    target_include_directories(och_${name} PRIVATE ${PROJECT_SOURCE_DIR}/include
                               ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/include)
    target_compile_definitions(och_${name} PRIVATE _GNU_SOURCE
                               OCH_VERSION="${PROJECT_VERSION}")
    target_link_libraries(och_${name} PRIVATE ${layer_LINK} Threads::Threads)
    och_strict(och_${name})
    och_harden(och_${name})
    set_property(GLOBAL APPEND PROPERTY och_layers ${name})
    set_property(GLOBAL APPEND PROPERTY och_links_${name} ${layer_LINK})
endfunction()

# och_use_layers(TARGET LAYERS...): link the objects of these layers and what they need.
function(och_use_layers target)
    foreach(layer IN LISTS ARGN)
        get_property(links GLOBAL PROPERTY och_links_${layer})
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:och_${layer}>)
        target_link_libraries(${target} PRIVATE ${links})
    endforeach()
    target_link_libraries(${target} PRIVATE Threads::Threads m)
endfunction()

set(OCH_LIBRARY_LAYERS base os distance storage index segment engine drivers api)
set(OCH_PROGRAM_LAYERS wire http routes roles cli)

# The library: everything an embedding program needs, exporting ochre_ names only.
function(och_library)
    foreach(kind IN ITEMS SHARED STATIC)
        string(TOLOWER ochre_${kind} target)
        add_library(${target} ${kind})
        och_use_layers(${target} ${OCH_LIBRARY_LAYERS})
        target_include_directories(${target} PUBLIC
            $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
        set_target_properties(${target} PROPERTIES OUTPUT_NAME ochre LINKER_LANGUAGE CXX
                              VERSION ${PROJECT_VERSION} SOVERSION 0)
    endforeach()
    target_link_options(ochre_shared PRIVATE
        -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/libochre.map ${och_hardened_link})
    set_target_properties(ochre_shared PROPERTIES
        LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/libochre.map)
    install(TARGETS ochre_shared ochre_static)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ochre TYPE INCLUDE)
    file(RELATIVE_PATH OCHRE_PC_PREFIX /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/ochre.pc.in ochre.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/ochre.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# The program `ochre`: the same objects plus the outer layers.
function(och_program)
    add_executable(ochre)
    och_use_layers(ochre ${OCH_LIBRARY_LAYERS} ${OCH_PROGRAM_LAYERS})
    set_target_properties(ochre PROPERTIES LINKER_LANGUAGE CXX)
    target_link_options(ochre PRIVATE -pie ${och_hardened_link})
    install(TARGETS ochre)
endfunction()
