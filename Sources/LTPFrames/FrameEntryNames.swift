// SPDX-License-Identifier: Apache-2.0
//
// The names of array entries' fields, for errors. Written out, since nothing here builds strings.
//
// Invariant: every name is a literal, as FrameError's are.

/// The names of one array entry and of those of its fields that a check can refuse.
struct FrameEntryNames {
  let entry: StaticString
  /// Its name or peer id.
  let identifier: StaticString
  /// Its signal or state.
  let code: StaticString
  let reserved: StaticString
}

func evidenceNames(_ index: Int) -> FrameEntryNames {
  switch index {
  case 0:
    FrameEntryNames(
      entry: "orientation.evidence[0]", identifier: "orientation.evidence[0].name_id",
      code: "orientation.evidence[0].signal", reserved: "orientation.evidence[0].reserved")
  case 1:
    FrameEntryNames(
      entry: "orientation.evidence[1]", identifier: "orientation.evidence[1].name_id",
      code: "orientation.evidence[1].signal", reserved: "orientation.evidence[1].reserved")
  default:
    FrameEntryNames(
      entry: "orientation.evidence[2]", identifier: "orientation.evidence[2].name_id",
      code: "orientation.evidence[2].signal", reserved: "orientation.evidence[2].reserved")
  }
}

func focusPeerNames(_ index: Int) -> FrameEntryNames {
  switch index {
  case 0:
    FrameEntryNames(
      entry: "focus_snapshot.peers[0]", identifier: "focus_snapshot.peers[0].peer_id",
      code: "focus_snapshot.peers[0].state", reserved: "focus_snapshot.peers[0].reserved")
  case 1:
    FrameEntryNames(
      entry: "focus_snapshot.peers[1]", identifier: "focus_snapshot.peers[1].peer_id",
      code: "focus_snapshot.peers[1].state", reserved: "focus_snapshot.peers[1].reserved")
  case 2:
    FrameEntryNames(
      entry: "focus_snapshot.peers[2]", identifier: "focus_snapshot.peers[2].peer_id",
      code: "focus_snapshot.peers[2].state", reserved: "focus_snapshot.peers[2].reserved")
  case 3:
    FrameEntryNames(
      entry: "focus_snapshot.peers[3]", identifier: "focus_snapshot.peers[3].peer_id",
      code: "focus_snapshot.peers[3].state", reserved: "focus_snapshot.peers[3].reserved")
  case 4:
    FrameEntryNames(
      entry: "focus_snapshot.peers[4]", identifier: "focus_snapshot.peers[4].peer_id",
      code: "focus_snapshot.peers[4].state", reserved: "focus_snapshot.peers[4].reserved")
  case 5:
    FrameEntryNames(
      entry: "focus_snapshot.peers[5]", identifier: "focus_snapshot.peers[5].peer_id",
      code: "focus_snapshot.peers[5].state", reserved: "focus_snapshot.peers[5].reserved")
  case 6:
    FrameEntryNames(
      entry: "focus_snapshot.peers[6]", identifier: "focus_snapshot.peers[6].peer_id",
      code: "focus_snapshot.peers[6].state", reserved: "focus_snapshot.peers[6].reserved")
  case 7:
    FrameEntryNames(
      entry: "focus_snapshot.peers[7]", identifier: "focus_snapshot.peers[7].peer_id",
      code: "focus_snapshot.peers[7].state", reserved: "focus_snapshot.peers[7].reserved")
  case 8:
    FrameEntryNames(
      entry: "focus_snapshot.peers[8]", identifier: "focus_snapshot.peers[8].peer_id",
      code: "focus_snapshot.peers[8].state", reserved: "focus_snapshot.peers[8].reserved")
  case 9:
    FrameEntryNames(
      entry: "focus_snapshot.peers[9]", identifier: "focus_snapshot.peers[9].peer_id",
      code: "focus_snapshot.peers[9].state", reserved: "focus_snapshot.peers[9].reserved")
  case 10:
    FrameEntryNames(
      entry: "focus_snapshot.peers[10]", identifier: "focus_snapshot.peers[10].peer_id",
      code: "focus_snapshot.peers[10].state", reserved: "focus_snapshot.peers[10].reserved")
  default:
    FrameEntryNames(
      entry: "focus_snapshot.peers[11]", identifier: "focus_snapshot.peers[11].peer_id",
      code: "focus_snapshot.peers[11].state", reserved: "focus_snapshot.peers[11].reserved")
  }
}

func goalOptionName(_ index: Int) -> StaticString {
  switch index {
  case 0: "route_goal.option_peer_id[0]"
  case 1: "route_goal.option_peer_id[1]"
  case 2: "route_goal.option_peer_id[2]"
  case 3: "route_goal.option_peer_id[3]"
  case 4: "route_goal.option_peer_id[4]"
  case 5: "route_goal.option_peer_id[5]"
  case 6: "route_goal.option_peer_id[6]"
  default: "route_goal.option_peer_id[7]"
  }
}

func branchName(_ index: Int) -> StaticString {
  switch index {
  case 0: "route_branch[0]"
  case 1: "route_branch[1]"
  case 2: "route_branch[2]"
  case 3: "route_branch[3]"
  case 4: "route_branch[4]"
  case 5: "route_branch[5]"
  case 6: "route_branch[6]"
  default: "route_branch[7]"
  }
}
