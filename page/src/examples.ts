/** Situations to start from. */

import type { Ask } from "./asking";

export const EXAMPLES: { label: string; ask: Partial<Ask> & Pick<Ask, "text" | "mode"> }[] = [
  {
    label: "A comforting lie",
    ask: { text: "Telling my grandmother a comforting lie about her illness", mode: "overton" },
  },
  {
    label: "Medical school or painting",
    ask: { text: "My daughter wants to leave medical school to become a painter, and asks what I think.", mode: "overton" },
  },
  {
    label: "A bribe that saves time",
    ask: { text: "Paying a small bribe so that my mother is operated on this week", mode: "overton" },
  },
  {
    label: "Eating meat, seen by karma",
    ask: { text: "Eating meat", mode: "steerable", toward: "karma" },
  },
  {
    label: "Loud music, a right to quiet",
    ask: { text: "My neighbour practises the drums every evening.", mode: "steerable", toward: "The right to quiet" },
  },
  {
    label: "Should voting be a duty?",
    ask: { text: "Should every citizen be obliged to vote?", mode: "distributional", options: "Yes\nNo\nOnly in local elections" },
  },
];
