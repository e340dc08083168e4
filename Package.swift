// swift-tools-version: 6.2
import PackageDescription

/// Modules below the C ABI build in two modes from the same source: ordinary Swift (Swift users, tests, the
/// tool) and, with `--traits Embedded`, Embedded Swift (the C library, which needs no Swift runtime).
let core: [SwiftSetting] = [
  .enableExperimentalFeature("Embedded", .when(traits: ["Embedded"])),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
  name: "ltp",
  products: [
    // With CLTP, or a changed header would not rebuild a user's package.
    .library(name: "LTP", targets: ["LTP", "LTPPolicy", "CLTP"]),
    .library(name: "LTPStatic", type: .static, targets: ["LTPLibrary"]),
    .library(
      name: "LTPModules",
      targets: [
        "LTPRecords", "LTPFrames", "LTPRules", "LTPLimits", "LTPOrientation", "LTPAdmission", "LTPClient",
        "LTPStorage", "LTPTrace", "LTPLibrary", "CLTPSystem", "CLTP",
      ]),
    .executable(name: "ltp", targets: ["ltp"]),
  ],
  traits: [
    .trait(name: "Embedded", description: "Build the core without the Swift runtime, for C.")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    // The contract: frames, constants, status codes, functions, and what the trace holds on disk.
    .target(name: "CLTP", path: "include", exclude: ["ltp.abi"], publicHeadersPath: "."),
    // The one place that calls liburing, libcrypto, pthreads and the kernel.
    .target(
      name: "CLTPSystem",
      linkerSettings: [.linkedLibrary("uring"), .linkedLibrary("crypto")]),
    // what the trace holds, byte by byte: kinds, views, words, block headers, digests, names
    .target(name: "LTPRecords", dependencies: ["CLTP", "CLTPSystem"], swiftSettings: core),
    // bytes -> frame view
    .target(name: "LTPFrames", dependencies: ["CLTP", "LTPRecords"], swiftSettings: core),
    // a policy: checked, compiled, and the pure decision under it
    .target(name: "LTPRules", dependencies: ["CLTP", "LTPRecords"], swiftSettings: core),
    // rates, permits, and what moves them
    .target(
      name: "LTPLimits", dependencies: ["CLTP", "CLTPSystem", "LTPRecords", "LTPRules"], swiftSettings: core),
    // values -> transitions: the word that decisions are under, and who moves it
    .target(
      name: "LTPOrientation", dependencies: ["CLTP", "CLTPSystem", "LTPRecords", "LTPRules"],
      swiftSettings: core),
    // frame -> lane (orientation, policy, limits, continuity) -> verdict and record
    .target(
      name: "LTPAdmission",
      dependencies: [
        "CLTP", "CLTPSystem", "LTPRecords", "LTPFrames", "LTPRules", "LTPLimits", "LTPOrientation",
      ],
      swiftSettings: core),
    // the caller's side: adaptive throttling, retry budgets
    .target(name: "LTPClient", dependencies: ["CLTP", "CLTPSystem"], swiftSettings: core),
    // sealed blocks -> chained, acknowledged segments on disk, and back at recovery; whatever the blocks say
    .target(name: "LTPStorage", dependencies: ["CLTP", "CLTPSystem", "LTPRecords"], swiftSettings: core),
    // intents that were answered with DEFER -> kept, handed out in order, ended; each step in a chain of its own
    .target(
      name: "LTPDeferral", dependencies: ["CLTP", "CLTPSystem", "LTPRecords", "LTPStorage"],
      swiftSettings: core),
    // lanes, transitions, policies -> the blocks of a trace
    .target(
      name: "LTPTrace",
      dependencies: ["CLTP", "CLTPSystem", "LTPRecords", "LTPOrientation", "LTPAdmission", "LTPStorage"],
      swiftSettings: core),
    // a core's life: options, memory, threads, handles, open to close
    .target(
      name: "LTPCore",
      dependencies: [
        "CLTP", "CLTPSystem", "LTPRecords", "LTPFrames", "LTPRules", "LTPLimits", "LTPOrientation",
        "LTPAdmission", "LTPStorage", "LTPDeferral", "LTPTrace",
      ],
      swiftSettings: core),
    // the C ABI: ltp.h's functions
    .target(
      name: "LTPLibrary",
      dependencies: [
        "CLTP", "CLTPSystem", "LTPRecords", "LTPFrames", "LTPRules", "LTPLimits", "LTPOrientation",
        "LTPAdmission", "LTPClient", "LTPStorage", "LTPDeferral", "LTPTrace", "LTPCore",
      ],
      swiftSettings: core),
    // the same for Swift: typed errors, noncopyable lanes, spans, async waiting
    .target(
      name: "LTP", dependencies: ["CLTP", "CLTPSystem", "LTPLibrary"],
      swiftSettings: [.enableUpcomingFeature("InternalImportsByDefault")]),
    // policies as people write them
    .target(
      name: "LTPPolicy", dependencies: ["CLTP", "LTPRules", "LTP"],
      swiftSettings: [.enableUpcomingFeature("InternalImportsByDefault")]),
    // reads traces: verify, summary, show, redecide
    .target(
      name: "LTPInspect",
      dependencies: [
        "CLTP", "CLTPSystem", "LTPRecords", "LTPRules", "LTPStorage",
      ],
      swiftSettings: [.enableUpcomingFeature("InternalImportsByDefault")]),
    .executableTarget(
      name: "ltp",
      dependencies: [
        "CLTP", "CLTPSystem", "LTP", "LTPLibrary", "LTPTrace", "LTPInspect", "LTPPolicy",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: [.enableUpcomingFeature("InternalImportsByDefault")]),
    // what tests of several modules share: seeds, a guard against hangs, records, traces, the simulated disk
    .target(
      name: "LTPTestSupport",
      dependencies: [
        "CLTP", "CLTPSystem", "LTPRecords", "LTPFrames", "LTPRules", "LTPStorage",
      ],
      path: "Tests/Support", swiftSettings: [.enableUpcomingFeature("InternalImportsByDefault")]),
    .testTarget(name: "LTPRecordsTests", dependencies: ["CLTP", "LTPRecords", "LTPTestSupport"]),
    .testTarget(
      name: "LTPDeferralTests",
      dependencies: ["CLTP", "CLTPSystem", "LTPRecords", "LTPStorage", "LTPDeferral", "LTPTestSupport"]),
    .testTarget(name: "LTPFramesTests", dependencies: ["CLTP", "LTPFrames", "LTPTestSupport"]),
    .testTarget(name: "LTPRulesTests", dependencies: ["CLTP", "LTPRecords", "LTPRules", "LTPTestSupport"]),
    .testTarget(
      name: "LTPAdmissionTests",
      dependencies: [
        "CLTP", "CLTPSystem", "LTPRecords", "LTPRules", "LTPLimits", "LTPOrientation", "LTPAdmission",
        "LTPTestSupport",
      ]),
    .testTarget(
      name: "LTPLimitsTests",
      dependencies: ["CLTP", "LTPRecords", "LTPRules", "LTPLimits", "LTPTestSupport"]),
    .testTarget(name: "LTPClientTests", dependencies: ["CLTP", "LTPClient", "LTPTestSupport"]),
    .testTarget(
      name: "LTPOrientationTests",
      dependencies: ["CLTP", "CLTPSystem", "LTPRecords", "LTPRules", "LTPOrientation", "LTPTestSupport"]),
    .testTarget(
      name: "LTPStorageTests", dependencies: ["CLTP", "CLTPSystem", "LTPStorage", "LTPTestSupport"]),
    .testTarget(
      name: "LTPTraceTests",
      dependencies: [
        "CLTP", "CLTPSystem", "LTPRecords", "LTPFrames", "LTPRules", "LTPLimits", "LTPOrientation",
        "LTPAdmission", "LTPStorage", "LTPDeferral", "LTPTrace", "LTPInspect", "LTPTestSupport",
      ]),
    .testTarget(name: "LTPPolicyTests", dependencies: ["CLTP", "LTP", "LTPPolicy", "LTPTestSupport"]),
    .testTarget(
      name: "LTPTests", dependencies: ["CLTP", "LTP", "LTPRecords", "LTPInspect", "LTPTestSupport"]),
    .testTarget(
      name: "LTPLibraryTests", dependencies: ["CLTP", "LTPLibrary", "LTPInspect", "LTPTestSupport"]),
    .testTarget(
      name: "LTPInspectTests",
      dependencies: [
        "CLTP", "CLTPSystem", "LTPRecords", "LTPStorage", "LTPTrace", "LTPInspect",
        "LTPLibrary", "ltp", "LTPTestSupport",
      ]),
  ]
)
