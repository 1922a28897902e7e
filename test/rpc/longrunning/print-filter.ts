import type { FilterNode, FilterText, Member } from "../../../src/rpc/longrunning/parse-filter.ts";

/** Writes a filter so that reading it gives the same again, positions aside. */
export function printFilter(node: FilterNode): string {
  switch (node.kind) {
    case "and":
      return node.nodes.map((one) => (one.kind === "and" ? `(${printFilter(one)})` : printFilter(one))).join(" AND ");
    case "or":
      return node.nodes.map(printSimple).join(" OR ");
    case "not":
      return `NOT ${node.node.kind === "not" ? `(${printFilter(node.node)})` : printSimple(node.node)}`;
    case "comparison": {
      const { arg } = node;
      const printed = arg.kind === "member" ? printMember(arg) : `(${printFilter(arg)})`;
      return `${printMember(node.member)} ${node.comparator} ${printed}`;
    }
    case "member":
      return printMember(node);
  }
}

/** What may stand beside OR and after NOT. */
function printSimple(node: FilterNode): string {
  return node.kind === "and" || node.kind === "or" ? `(${printFilter(node)})` : printFilter(node);
}

function printMember({ path }: Member): string {
  return path.map(printText).join(".");
}

function printText({ text, wildcards, quoted }: FilterText): string {
  if (!quoted) {
    return text;
  }
  const escaped = Array.from({ length: text.length }, (_, index) => {
    const character = text.charAt(index);
    return wildcards.includes(index) || !/["\\*]/.test(character) ? character : `\\${character}`;
  });
  return `"${escaped.join("")}"`;
}
