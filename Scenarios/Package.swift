// swift-tools-version: 6.2
import PackageDescription

/// Whole services under trouble, to see what the core is for. A package of its own, so that embedding the core pulls
/// in nothing of it.
let package = Package(
  name: "ltp-scenarios",
  dependencies: [
    .package(name: "ltp", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
  ],
  targets: [
    .systemLibrary(
      name: "CSQLite", path: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(
      name: "CPostgres", path: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .systemLibrary(name: "CLinux", path: "CLinux"),
    // what every scenario needs: a server as a child, a database, the inspector, a clock, a plot's parts
    .target(
      name: "Stage",
      dependencies: [
        "CLinux", "CSQLite", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "LTPModules", package: "ltp"),
      ],
      path: "Stage"),
    .executableTarget(
      name: "cascade",
      dependencies: [
        "Stage", "CLinux", "CSQLite", .product(name: "LTP", package: "ltp"),
        .product(name: "ltp", package: "ltp"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Cascade",
      resources: [.embedInCode("policy.json")]),
    .executableTarget(
      name: "database-flicker",
      dependencies: [
        "Stage", "CPostgres", "CSQLite", .product(name: "LTP", package: "ltp"),
        .product(name: "ltp", package: "ltp"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "DatabaseFlicker"),
    .executableTarget(
      name: "zombie-order",
      dependencies: [
        "Stage", .product(name: "LTP", package: "ltp"), .product(name: "ltp", package: "ltp"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOWebSocket", package: "swift-nio"),
      ],
      path: "ZombieOrder",
      resources: [.embedInCode("policy.json")]),
  ]
)
