// swift-tools-version: 6.2
import PackageDescription

/// Micro-benchmarks of the core's rooms. A package of its own, so that the core does not depend on it.
let package = Package(
  name: "ltp-benchmarks",
  dependencies: [
    .package(name: "ltp", path: ".."),
    // Without its interposers, which would change what is measured.
    .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
  ],
  targets: [
    .executableTarget(
      name: "CoreBenchmarks",
      dependencies: [
        .product(name: "Benchmark", package: "benchmark"),
        .product(name: "LTPModules", package: "ltp"),
      ],
      path: "Benchmarks/CoreBenchmarks",
      plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")])
  ]
)
