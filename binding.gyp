{
  # CPU only, for machines without cmake; CMakeLists.txt is the main build. Both read sources.json.
  "variables": {
    "architecture%": "<!(node -p process.arch)",
    "common_flags": ["-std=c++20", "-fexceptions", "-O3", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-Wall", "-Wextra"]
  },
  "target_defaults": {
    "include_dirs": ["."],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-rtti", "-fno-exceptions"],
    "cflags_cc": ["<@(common_flags)"],
    "xcode_settings": { "CLANG_CXX_LANGUAGE_STANDARD": "c++20", "OTHER_CPLUSPLUSFLAGS": ["<@(common_flags)"] }
  },
  "targets": [
    {
      "target_name": "padless_core",
      "type": "static_library",
      "sources": ["<!@(node -p \"require('./sources.json').core.join(' ')\")"]
    },
    {
      "target_name": "padless",
      "dependencies": ["padless_core"],
      "sources": [
        "<!@(node -p \"require('./sources.json').binding.join(' ')\")",
        "<!@(node -p \"require('./sources.json').cuda.absent.join(' ')\")"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "conditions": [
        ["architecture=='x64'", { "dependencies": ["padless_avx2", "padless_avx512", "padless_avx_vnni", "padless_avx512_vnni", "padless_avx512_bf16", "padless_avx512_amx"] }],
        ["architecture=='arm64'", { "dependencies": ["padless_neon", "padless_neon_dotprod", "padless_neon_bf16"] }],
        ["OS=='linux'", { "ldflags": ["-Wl,--version-script=<(module_root_dir)/lib/binding/exports.map"] }]
      ]
    }
  ],
  "conditions": [
    ["architecture=='x64'", {
      "targets": [
        {
          "target_name": "padless_avx2",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.avx2.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.avx2.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.avx2.flags.join(' ')\")"] }
        },
        {
          "target_name": "padless_avx512",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.avx512.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.avx512.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.avx512.flags.join(' ')\")"] }
        },
        {
          "target_name": "padless_avx_vnni",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.avx_vnni.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.avx_vnni.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.avx_vnni.flags.join(' ')\")"] }
        },
        {
          "target_name": "padless_avx512_vnni",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.avx512_vnni.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.avx512_vnni.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.avx512_vnni.flags.join(' ')\")"] }
        },
        {
          "target_name": "padless_avx512_bf16",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.avx512_bf16.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.avx512_bf16.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.avx512_bf16.flags.join(' ')\")"] }
        },
        {
          "target_name": "padless_avx512_amx",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.avx512_amx.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.avx512_amx.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.avx512_amx.flags.join(' ')\")"] }
        }
      ]
    }],
    ["architecture=='arm64'", {
      "targets": [
        {
          "target_name": "padless_neon",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.neon.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.neon.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.neon.flags.join(' ')\")"] }
        },
        {
          "target_name": "padless_neon_dotprod",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.neon_dotprod.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.neon_dotprod.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.neon_dotprod.flags.join(' ')\")"] }
        },
        {
          "target_name": "padless_neon_bf16",
          "type": "static_library",
          "sources": ["<!@(node -p \"require('./sources.json').isa.neon_bf16.sources.join(' ')\")"],
          "cflags_cc": ["<!@(node -p \"require('./sources.json').isa.neon_bf16.flags.join(' ')\")"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<!@(node -p \"require('./sources.json').isa.neon_bf16.flags.join(' ')\")"] }
        }
      ]
    }]
  ]
}
