/**
 * Reports whether the `:authority` or `Host` of a request is a host with an optional port.
 *
 * Unchecked, values like `[`, `a:99999` or `1.2.3.4.5` make the URL that Connect builds of them throw.
 */
export function isAuthority(authority: string | undefined): authority is string {
  return (
    authority !== undefined &&
    /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(authority) &&
    URL.canParse(`http://${authority}/`)
  );
}
