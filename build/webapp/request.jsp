<%-- What the container was told of the client and of its connection; a request
     attribute with ?attribute=name. --%>
<%@ page session="false" contentType="text/plain; charset=UTF-8" trimDirectiveWhitespaces="true"
    import="java.security.cert.X509Certificate" %>
<%
    response.setHeader("Cache-Control", "no-store");
    response.setHeader("X-Content-Type-Options", "nosniff");

    out.println("method: " + request.getMethod());
    out.println("client: " + request.getRemoteAddr());
    out.println("client-port: " + request.getRemotePort());
    out.println("local: " + request.getLocalAddr());
    out.println("server: " + request.getServerName() + ":" + request.getServerPort());
    out.println("scheme: " + request.getScheme());
    out.println("secure: " + request.isSecure());
    out.println("user: " + request.getRemoteUser());
    out.println("authentication: " + request.getAuthType());
    out.println("cipher: " + request.getAttribute("jakarta.servlet.request.cipher_suite"));
    out.println("key-size: " + request.getAttribute("jakarta.servlet.request.key_size"));
    out.println("tls-session: " + request.getAttribute("jakarta.servlet.request.ssl_session_id"));
    out.println("tls-version: " + request.getAttribute("org.apache.tomcat.util.net.secure_protocol_version"));
    out.println("activation: " + request.getAttribute("JK_LB_ACTIVATION"));
    Object certificates = request.getAttribute("jakarta.servlet.request.X509Certificate");
    if (certificates instanceof X509Certificate[]) {
        for (X509Certificate certificate : (X509Certificate[]) certificates) {
            out.println("certificate: " + certificate.getSubjectX500Principal().getName());
        }
    }
    String attribute = request.getParameter("attribute");
    if (attribute != null && attribute.matches("[A-Za-z]+")) {
        out.println("attribute: " + request.getAttribute(attribute));
    }
    String cookie = request.getHeader("Cookie");
    out.println("cookie-bytes: " + (cookie == null ? 0 : cookie.length()));
%>
