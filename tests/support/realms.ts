/** Two realms of Keycloak: UmbrellaID, where anyone can register, and the facility's own login. */

interface Realm {
  readonly realm: string
}

export const passwords = { umbrella: 'umbrella-pass', facility: 'facility-pass' }
export const eaaHash = '0a1b2c3d-0000-4000-8000-123456789abc'

export function twoRealms(hub: string): readonly Realm[] {
  const umbrella = realm('umbrella', hub, {
    username: 'a.lovelace',
    email: 'ada@home.example.org',
    password: passwords.umbrella,
    attributes: { voperson_id: ['v-4711@umbrella.example.org'], eaa_hash: [eaaHash] },
    mapped: ['voperson_id', 'eaa_hash'],
  })
  const facility = realm('facility', hub, {
    username: 'ada',
    email: 'ada@facility.example.org',
    password: passwords.facility,
    attributes: { groups: ['optics'] },
    mapped: ['groups'],
  })
  return [umbrella, facility]
}

interface Person {
  readonly username: string
  readonly email: string
  readonly password: string
  readonly attributes: Readonly<Record<string, readonly string[]>>
  readonly mapped: readonly string[]
}

function realm(name: string, hub: string, person: Person): Realm & Readonly<Record<string, unknown>> {
  const { username, email, password, attributes, mapped } = person
  return {
    realm: name,
    enabled: true,
    sslRequired: 'none',
    components: {
      'org.keycloak.userprofile.UserProfileProvider': [
        {
          providerId: 'declarative-user-profile',
          config: { 'kc.user.profile.config': [JSON.stringify(profile)] },
        },
      ],
    },
    users: [
      {
        username,
        email,
        emailVerified: true,
        firstName: 'Ada',
        lastName: 'Lovelace',
        enabled: true,
        attributes,
        credentials: [{ type: 'password', value: password, temporary: false }],
      },
    ],
    clients: [
      {
        clientId: 'hutch',
        publicClient: true,
        standardFlowEnabled: true,
        redirectUris: [`${hub}/hub/login/${name}/callback`],
        attributes: {
          'pkce.code.challenge.method': 'S256',
          'post.logout.redirect.uris': `${hub}/hub/login`,
          'backchannel.logout.url': `${hub}/hub/login/${name}/backchannel`,
          'backchannel.logout.session.required': 'true',
        },
        protocolMappers: mapped.map(mapper),
      },
    ],
  }
}

const profile = {
  unmanagedAttributePolicy: 'ENABLED',
  attributes: ['username', 'email', 'firstName', 'lastName'].map((name) => ({
    name,
    permissions: { view: ['admin', 'user'], edit: ['admin', 'user'] },
  })),
}

function mapper(claim: string): object {
  return {
    name: claim,
    protocol: 'openid-connect',
    protocolMapper: 'oidc-usermodel-attribute-mapper',
    config: {
      'user.attribute': claim,
      'claim.name': claim,
      'jsonType.label': 'String',
      multivalued: String(claim === 'groups'),
      'id.token.claim': 'true',
      'userinfo.token.claim': 'true',
    },
  }
}
