// swift-tools-version: 6.2
import PackageDescription

/// Whole services under trouble, to see what the core is for. A package of its own, so that embedding the core pulls
/// in nothing of it.
let package = Package(
  name: "ltp-scenarios",
  dependencies: [
    .package(name: "ltp", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    .systemLibrary(
      name: "CSQLite", path: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CLinux", path: "CLinux"),
    .executableTarget(
      name: "cascade",
      dependencies: [
        "CLinux", "CSQLite", .product(name: "LTP", package: "ltp"), .product(name: "ltp", package: "ltp"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Cascade",
      resources: [.embedInCode("policy.json")]),
  ]
)
