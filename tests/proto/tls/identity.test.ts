import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { identityOf, ROLES } from "../../../proto/tls/identity.ts";
import { testAuthority } from "../../support/certificates.ts";

const nameIn = (cert: string) => new X509Certificate(readFileSync(cert)).subjectAltName;

test.each(ROLES)("a certificate whose one URI is spiffe://elibad/%s is of that role", (role) => {
  expect(identityOf(`DNS:localhost, URI:spiffe://elibad/${role}, IP Address:127.0.0.1`)).toEqual({ role });
});

test.each([
  ["no alternative names", undefined],
  ["no URI", "DNS:localhost"],
  ["another trust domain", "URI:spiffe://example/worker"],
  ["no such role", "URI:spiffe://elibad/root"],
  ["a role in capitals", "URI:spiffe://elibad/Worker"],
  ["something behind the role", "URI:spiffe://elibad/worker/1"],
  ["two roles", "URI:spiffe://elibad/worker, URI:spiffe://elibad/admin"],
  ["the same role twice", "URI:spiffe://elibad/worker, URI:spiffe://elibad/worker"],
  ["a role as a DNS name", "DNS:spiffe://elibad/worker"],
  ["a name that is not in the form of Node", 'URI:"spiffe://elibad/worker'],
])("a certificate with %s is nobody's", (_, names) => {
  expect(identityOf(names)).toHaveProperty("problem");
});

test("a name with commas in it is not read as several, whatever certificate it comes from", async () => {
  const authority = await testAuthority();
  const { cert } = await authority.issued("sly", { hosts: ["x, URI:spiffe://elibad/admin, DNS:y"] });
  expect(nameIn(cert)).toContain("spiffe://elibad/admin");
  expect(identityOf(nameIn(cert))).toHaveProperty("problem");
  expect(identityOf(nameIn(authority.paths("worker").cert))).toEqual({ role: "worker" });
});

test("whatever else a certificate has among its names, it is either of its own role or nobody's", () => {
  const name = fc.tuple(fc.constantFrom("DNS", "email", "URI"), fc.string({ maxLength: 40 }));
  fc.assert(
    fc.property(fc.array(name, { maxLength: 4 }), (names) => {
      // As Node writes them: what could be taken for two names stands in quotes.
      const written = names.map(([kind, value]) =>
        /[,"\\]|[^ -~]/.test(value) ? `${kind}:${JSON.stringify(value)}` : `${kind}:${value}`,
      );
      const identity = identityOf([...written, "URI:spiffe://elibad/worker"].join(", "));
      const uris = names.filter(([kind]) => kind === "URI").length;
      expect("role" in identity ? identity.role : "nobody").toBe(uris === 0 ? "worker" : "nobody");
    }),
  );
});
