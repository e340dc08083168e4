// SPDX-License-Identifier: Apache-2.0

import Stage

@main
enum DatabaseFlickerTool {
  static func main() { Tool.run(RunCommand.self, ServeCommand.self) }
}
