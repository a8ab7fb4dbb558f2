import icon from "../style/icon.svg";

/** The name of the product with its sign. */
export function Mark() {
  return (
    <span className="mark">
      <img src={icon} alt="" width="22" height="22" />
      <span className="mark-name">Taskledger</span>
    </span>
  );
}
